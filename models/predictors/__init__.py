"""One short file a predictor; ``base`` owns what all of them do."""
