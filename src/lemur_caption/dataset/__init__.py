"""Image captions in COCO's layout: reading, vocabulary, batches, and the rendered `shapes` set.

folder/annotations/captions_{train,val}2017.json
folder/{train,val}2017/*.jpg
"""
