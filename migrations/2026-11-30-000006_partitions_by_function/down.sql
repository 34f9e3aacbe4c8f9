DROP FUNCTION taskrow.drop_day(date);
DROP FUNCTION taskrow.make_day(date);
DROP FUNCTION taskrow.first_id(date);
