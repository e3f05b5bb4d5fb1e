"""What every picture's file passes before its pixels count: checks of formats, and modes to RGB."""
