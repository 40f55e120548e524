"""The librarian's files: their bytes, their names, and who may have them."""
