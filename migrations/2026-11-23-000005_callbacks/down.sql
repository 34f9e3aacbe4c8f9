DROP TABLE taskrow.callbacks;
