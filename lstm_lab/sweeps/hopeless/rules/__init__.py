"""Ways in which a trial is hopeless."""
