"""The marks that figures are made of: heat maps, lines, bars, fans, rasters."""
