"""What a page is made of: tables, figures, their rendering."""
