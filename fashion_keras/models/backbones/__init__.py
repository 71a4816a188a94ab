"""The networks that are built here, a file each."""
