"""The ground that actors stand on: Thespian on loopback, and the page of signs of life."""
