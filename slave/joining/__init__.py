"""How a slave on another machine joins a farm: a token for a certificate, and whom it believes then."""
