"""The AWS that runs on a laptop: moto as the control plane, and the moving parts beside it."""
