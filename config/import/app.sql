-- The tables that config/import/app.toml fills.
create table users (
    id uuid primary key,
    email text not null unique,
    name text,
    created_at timestamptz not null,
    email_verified_at timestamptz,
    level int not null default 1,
    experience bigint not null default 0,
    coins numeric(14, 2) not null default 0,
    settings jsonb
);
create table accounts (
    id uuid primary key,
    user_id uuid not null references users,
    provider text not null,
    provider_account_id text not null,
    created_at timestamptz not null,
    unique (provider, provider_account_id)
);
create table skills (
    id uuid primary key,
    user_id uuid not null references users,
    name text not null,
    level int not null check (level >= 1),
    parent_id uuid references skills,
    tags text[] not null default '{}'
);
create unique index skills_name on skills (user_id, lower(name));
create table achievements (
    user_id uuid not null references users,
    code text not null,
    unlocked_at timestamptz not null,
    primary key (user_id, code)
);
create table habits (
    id uuid primary key,
    user_id uuid not null references users,
    title text not null,
    schedule jsonb not null,
    is_archived boolean not null,
    created_at timestamptz not null
);
create table habit_logs (
    habit_id uuid not null references habits,
    day date not null,
    done boolean not null,
    primary key (habit_id, day)
);
create table goals (
    id uuid primary key,
    user_id uuid not null references users,
    title text not null,
    target numeric(12, 2) not null,
    due_on date,
    status text not null check (status in ('active', 'done', 'dropped')),
    latest_log_id uuid
);
create table goal_logs (
    id uuid primary key,
    goal_id uuid not null references goals,
    amount numeric(12, 2) not null,
    logged_at timestamptz not null
);
-- Goals and their logs reference each other.
alter table goals add foreign key (latest_log_id) references goal_logs;
