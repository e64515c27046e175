"""A cohort's images through the steps of the node, case by case: what ``celadon evaluate --cohort`` runs."""
