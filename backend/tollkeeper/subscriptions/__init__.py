"""A customer's plan over time: subscribe, cancel, change; pure calendar periods; which charges fall due when."""
