"""What the runs in a folder have reached: read, laid out in tables and pictures, and tested for chance."""
