"""A report's tables as text for a terminal, Markdown, CSV, Parquet and one HTML page."""
