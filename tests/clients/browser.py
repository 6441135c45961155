"""A browser for a program that opens one: goes where it is sent, and grants what is asked."""

import sys

import led

_, location = led.visit(sys.argv[1])
led.visit(led.approve(location))
