"""What ships: one folder a bundle, laid out as MONAI bundles are."""
