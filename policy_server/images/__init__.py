"""JPEG and PNG files from clients: checked before they are decoded, decoded to RGB arrays, and encoded."""
