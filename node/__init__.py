"""Everything of Celadon that touches DICOM, the database, the network or a person."""
