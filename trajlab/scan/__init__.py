"""One pass over the steps of a trajectory."""
