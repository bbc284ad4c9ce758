# Claim: what a handler's owner has let run is what runs as him, however fast others put functions in its place.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use AsideTest;
use Test::More;

my $node = aside_node('places', conf => "synchronous_commit = off\naside.worker_idle_timeout = '1min'\n");
my $mon  = session($node);
$mon->value($_) for (split /;\s*/, <<'SQL');
CREATE ROLE victim LOGIN IN ROLE aside_user; CREATE ROLE other LOGIN;
CREATE TABLE ran (what text, who text); GRANT INSERT ON ran TO PUBLIC;
CREATE SCHEMA s; GRANT ALL ON SCHEMA s TO PUBLIC; CREATE SCHEMA y;
SET ROLE victim; CREATE FUNCTION s.f(t text) RETURNS void LANGUAGE sql AS $$INSERT INTO ran VALUES ('mine', current_user)$$;
SELECT async_event_on('c', 's.f(text)', concurrency => 2, max_attempts => 100, backoff => '0 s');
RESET ROLE; SET ROLE other; CREATE FUNCTION s.e(t text) RETURNS void LANGUAGE sql AS $$INSERT INTO ran VALUES ('theirs', current_user)$$;
RESET ROLE
SQL
$mon->value(<<'SQL');
CREATE PROCEDURE swap(seconds int) LANGUAGE plpgsql AS $$
DECLARE ends timestamptz := clock_timestamp() + make_interval(secs => seconds);
BEGIN
	WHILE clock_timestamp() < ends LOOP
		ALTER FUNCTION s.f(text) RENAME TO g; ALTER FUNCTION s.e(text) RENAME TO f; ALTER SCHEMA y RENAME TO x;
		COMMIT;
		ALTER FUNCTION s.f(text) RENAME TO e; ALTER FUNCTION s.g(text) RENAME TO f; ALTER SCHEMA x RENAME TO y;
		COMMIT;
	END LOOP;
END $$
SQL
$mon->value(<<'SQL');
CREATE FUNCTION s.n(text) RETURNS void LANGUAGE sql AS 'SELECT';
CREATE PROCEDURE noise(seconds int) LANGUAGE plpgsql AS $$
DECLARE ends timestamptz := clock_timestamp() + make_interval(secs => seconds);
BEGIN
	WHILE clock_timestamp() < ends LOOP
		ALTER FUNCTION s.n(text) RENAME TO m; COMMIT; ALTER FUNCTION s.m(text) RENAME TO n; COMMIT;
	END LOOP;
END $$
SQL
my $swaps = session($node);
$swaps->send('CALL swap(4)');
my $noise = session($node);
$noise->send('CALL noise(4)');
my $emits = session($node);
$emits->value(q{SELECT count(async_event_emit('c')) FROM generate_series(1, 2000)});
$_->wait(60) for ($swaps, $noise);
ok($mon->until(q{SELECT NOT EXISTS (SELECT FROM aside.events WHERE state NOT IN ('done', 'dead'))}, 60), 'all is handled');
is($mon->value(q{SELECT count(*) FROM ran WHERE what = 'theirs'}), 0, 'nothing of somebody else has run');
cmp_ok($mon->value(q{SELECT count(*) FROM ran}), '>', 0, 'and what is meant has');
finish_all($mon, $swaps, $noise, $emits);
$node->stop('fast');
done_testing();
