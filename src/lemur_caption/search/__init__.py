"""The search: a closed loop from outcomes to the next candidates, and the records that it keeps."""
