-- Installations whose rollout was narrowed and completed before it was recorded (0020): any that ever had a rollout may have been.
update tributary.state set narrowed = true
where not narrowed and exists (select from tributary.operation_log where operation = 'rollout');
