"""What a device records of an activity: the timeline, the distance and the sensors."""
