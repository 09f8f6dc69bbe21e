-- The tables that config/import/school.toml fills.
create table users (
    id uuid primary key,
    email text unique,
    first_name text,
    last_name text,
    phone text,
    role text not null check (role in ('student', 'parent', 'teacher')),
    created_at timestamptz not null
);
create table teachers (
    id uuid primary key,
    user_id uuid not null unique references users,
    hired_on date,
    subjects text[] not null,
    is_active boolean not null,
    mentor_id uuid references teachers
);
create table classrooms (
    id uuid primary key,
    name text not null unique,
    seats int check (seats > 0)
);
create table classes (
    id uuid primary key,
    name text not null,
    teacher_id uuid references teachers,
    classroom_id uuid references classrooms,
    schedule jsonb not null
);
create table students (
    id uuid primary key,
    user_id uuid not null unique references users,
    class_id uuid references classes,
    born_on date,
    enrolled_at timestamptz,
    is_active boolean not null,
    address_city text
);
create table student_contacts (
    id uuid primary key,
    student_id uuid not null references students,
    kind text not null check (kind in ('parent', 'emergency')),
    name text not null,
    phone text
);
create table attendance (
    student_id uuid not null references students,
    class_id uuid not null references classes,
    day date not null,
    present boolean not null,
    note text,
    primary key (student_id, class_id, day)
);
create table grades (
    id uuid primary key,
    student_id uuid not null references students,
    class_id uuid not null references classes,
    subject text not null,
    score numeric(5, 2) not null check (score between 0 and 100),
    graded_at timestamptz
);
create table private_lessons (
    id uuid primary key,
    student_id uuid not null references students,
    teacher_id uuid references teachers,
    starts_at timestamptz not null,
    minutes int not null,
    price numeric(12, 2) not null
);
create table payment_obligations (
    id uuid primary key,
    student_id uuid not null references students,
    amount numeric(12, 2) not null,
    due_on date not null,
    status text not null check (status in ('open', 'paid', 'cancelled'))
);
create table payments (
    id uuid primary key,
    obligation_id uuid not null references payment_obligations,
    amount numeric(12, 2) not null,
    paid_at timestamptz not null,
    method text,
    reference text unique
);
