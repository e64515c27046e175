"""The only room with SQLAlchemy: the database is the queue and the only truth; blobs lie beside it."""
