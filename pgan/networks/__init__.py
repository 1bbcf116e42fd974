"""What is learnt: generator, discriminator, losses and the image pyramid."""
