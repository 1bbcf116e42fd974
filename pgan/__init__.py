"""A progressive GAN on image sets: (C, H, W) arrays and labels, whatever they mean."""
