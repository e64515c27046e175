"""What Celadon talks about: frozen values with units, and lifecycles as tables. Standard library and numpy only."""
