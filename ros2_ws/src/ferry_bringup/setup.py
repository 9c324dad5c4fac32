from glob import glob

from setuptools import setup

package_name = "ferry_bringup"

setup(
    name=package_name,
    version="0.1.0",
    packages=[],
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/" + package_name]),
        ("share/" + package_name, ["package.xml"]),
        ("share/" + package_name + "/launch", glob("launch/*.launch.xml")),
    ],
    install_requires=["setuptools"],
    zip_safe=True,
    maintainer="Ferry maintainers",
    maintainer_email="maintainers@ferry.example.org",
    description="Launch files that bring up a robot or its twin, its policy and a policy server.",
    license="Apache-2.0",
)
