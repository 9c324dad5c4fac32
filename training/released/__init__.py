"""`ferry import`: the checkpoints that FLaRe and SPOC released, as policy bundles."""
