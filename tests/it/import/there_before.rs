//! Rows that a target has before an import.

use testkit::exports::Export;

/// Statements that remember rows of an import, and that put them in as something else may have made them, with rows that only
/// that knows; and how many the import knows.
pub(super) fn there_before(of: Export) -> (&'static str, &'static str, u64) {
    match of {
        Export::App => (
            "create schema kept; create table kept.users as select * from users order by id limit 20",
            r#"insert into users
                select id, 'old-' || email, E'tab\t, line\n, \\N', '1999-12-31 23:59:59.123456+00', null, 3, 7, 0.10,
                    '{"b": null, "a": 1.0}' from kept.users;
            insert into users (id, email, created_at)
                values ('00000000-0000-4000-8000-000000000001', 'own@example.com', 'infinity');
            insert into skills (id, user_id, name, level, tags)
                select '00000000-0000-4000-8000-000000000002', id, '', 1, '{"a,b",NULL}' from users
                where email = 'own@example.com';
            update skills set parent_id = id;
            insert into goals (id, user_id, title, target, status)
                select '00000000-0000-4000-8000-000000000003', id, 'Own', 1.50, 'active' from kept.users limit 1;
            insert into goal_logs
                select '00000000-0000-4000-8000-000000000004', id, 0.10, '-infinity' from goals;
            update goals set latest_log_id = '00000000-0000-4000-8000-000000000004'"#,
            20,
        ),
        Export::School => (
            "create schema kept; create table kept.teachers as select * from teachers order by id limit 5;
            create table kept.users as (select * from users where role = 'student' order by id limit 20)
                union all select u.* from users u join kept.teachers t on t.user_id = u.id",
            r#"insert into users
                select id, 'old-' || email, '', E'tab\t, line\n, \\N', null, role, '1999-12-31 23:59:59.123456+00'
                from kept.users;
            insert into teachers select id, user_id, 'infinity', '{"a,b",NULL}', false, null from kept.teachers;
            update teachers t set mentor_id = (select min(id::text)::uuid from kept.teachers);
            insert into classrooms values ('00000000-0000-4000-8000-000000000001', E'Own\\', null);
            insert into classes
                select '00000000-0000-4000-8000-000000000002', 'Own', id, '00000000-0000-4000-8000-000000000001',
                    '{"a": 1.0}' from kept.teachers limit 1"#,
            30,
        ),
    }
}
