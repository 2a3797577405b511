-- Only tests come here: `migrate down` stops at v1, whose rows are the user's own.
DROP TABLE tasks;
DROP TABLE agents;
