"""Studies that train models and judge them: what ``celadon study`` runs."""
