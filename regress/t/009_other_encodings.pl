# Claim: the report of a deadlock that leads through a database of another
# encoding is text of the caller's database.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use AsideTest;
use Test::More;

for my $mode ('preloaded', 'private')
{
	my $node = aside_node($mode, preload => $mode eq 'preloaded', conf => "deadlock_timeout = '200ms'\n");
	$node->safe_psql('postgres', $_) for ('CREATE ROLE one', 'CREATE ROLE two', map { "CREATE DATABASE $_ LOCALE 'C' TEMPLATE template0" } q{utf ENCODING 'UTF8'}, q{latin ENCODING 'LATIN1'});
	$node->safe_psql('utf', 'CREATE EXTENSION pg_aside; CREATE TABLE kept (detail text)');
	my $mon = session($node, db => 'utf');
	my $far = session($node, db => 'latin');
	my $s = session($node, db => 'utf');
	# Roles are the cluster's: locks of theirs are met from every database.
	$far->value(q{SET client_encoding = 'UTF8'; SET deadlock_timeout = '1min'; BEGIN; COMMENT ON ROLE one IS 'far'});
	$s->value(q{SET client_encoding = 'UTF8'; BEGIN; COMMENT ON ROLE two IS 'here'});
	$far->send(qq{COMMENT ON ROLE two IS '\xc3\xa4'});
	ok($mon->until(q{SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = 'latin' AND wait_event_type = 'Lock')}),
		"$mode: a session elsewhere waits for the caller");
	my $r = $s->run(q{DO $$
		DECLARE
			d text;
		BEGIN
			PERFORM autonomous_exec('COMMENT ON ROLE one IS ''autonomous''');
		EXCEPTION WHEN deadlock_detected THEN
			GET STACKED DIAGNOSTICS d = PG_EXCEPTION_DETAIL;
			PERFORM autonomous_exec('INSERT INTO kept VALUES ($1)', d);
		END $$});
	ok($r->{ok}, "$mode: the deadlock is told") or diag($r->{err});
	$s->value('ROLLBACK');
	$far->wait;
	$far->value('ROLLBACK');
	is($mon->value(q{SELECT detail LIKE '%COMMENT ON ROLE two IS ''ä''%' FROM kept}), 't', "$mode: with the command as it was written there")
	  or diag($mon->value('SELECT detail FROM kept'));
	finish_all($mon, $far, $s);
	$node->stop;
}
done_testing();
