"""MuJoCo models of the robots, made of their URDFs and meshes."""
