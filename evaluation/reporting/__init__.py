"""Reports: tables, statistics, provenance and the HTML page."""
