"""A question over experiments: space, seeds, searcher, scheduler, resources."""
