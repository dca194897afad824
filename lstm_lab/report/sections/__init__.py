"""One file = one section of the page."""
