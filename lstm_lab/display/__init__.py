"""What a person sees on a terminal or in a notebook: printed text, progress, a chart of one line."""
