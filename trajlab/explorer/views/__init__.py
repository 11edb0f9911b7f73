"""Views of the page: a file each, all with the same selection."""
