"""A sweep on Ray Tune. The only room that knows Ray."""
