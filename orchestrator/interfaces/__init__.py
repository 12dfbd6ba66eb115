"""The Protocols a plug-in fulfils, and the values that cross them."""
