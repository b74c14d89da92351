#!/bin/sh
# Records what Java and PostgreSQL make of a body, since the tests need neither.
# CLASSPATH must have Jackson's core, databind and annotations, and Gson: Debian's
# libjackson2-databind-java and libgoogle-gson-java. psql must reach a server.
# Recorded with Jackson 2.14.0, Gson 2.10, Java 17 and PostgreSQL 15.
set -eu
cd "$(dirname "$0")"
java Record.java signed.json
psql -Atq -v body="$(cat signed.json)" <<'SQL' >jsonb.json
select :'body'::jsonb
SQL
psql -Atq -v body="$(cat signed.json)" <<'SQL' >jsonb_pretty.json
select jsonb_pretty(:'body'::jsonb)
SQL
