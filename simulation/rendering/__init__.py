"""OpenGL and the renderer of camera images."""
