"""Files and folders, local or in object stores: paths, byte ranges, atomic writes."""
