"""What was recorded on the way: samples that can be relied on, and their GeoJSON, GPX and WKB. Pure."""
