# Claim: what README.md and docs/ show is so. Each block in SQL runs without an error, and each example with a prompt prints what the
# page shows; each page in a database of its own.
#
# Pages whose examples stand word for word in regress/sql/guide_of_*.sql are not run again; scripts/lint compares these. Nor is what
# other TAP files run (103: several servers).

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use AsideTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

my $top = "$FindBin::RealBin/../..";
my %elsewhere = map { ($_ => 1) } 'docs/scale-out.md',
  map { /guide_of_(\w+)_holds/ ? 'docs/' . ($1 =~ s/^porting$/porting-from-oracle/r =~ tr/_/-/r) . '.md' : () } glob "$FindBin::RealBin/../sql/guide_of_*.sql";
my $node = aside_node('documents', conf => "max_worker_processes = 32\n");
$node->safe_psql('postgres', 'CREATE ROLE app LOGIN');
# The pages show his name.
$node->safe_psql('postgres', q{DO $$ BEGIN CREATE ROLE postgres SUPERUSER LOGIN; EXCEPTION WHEN duplicate_object THEN END $$});

sub plain
{
	my ($text) = @_;
	$text =~ s/^psql:<stdin>:\d+: //mg;
	$text =~ s/^LOCATION: .*\n?//mg;
	$text =~ s/[ \t]+$//mg;
	return $text =~ s/^\n+|\n+$//gr;
}

for my $page ('README.md', map { s{.*/(docs/)}{$1}r } sort glob "$top/docs/*.md")
{
	next if $elsewhere{$page};
	my ($text, @parts, $shown) = (slurp_file("$top/$page"));
	while ($text =~ /^```(\w*)[ \t]*\n(.*?)^```/msg)
	{
		my ($kind, $block, $line) = ($1, $2, 1 + substr($text, 0, $-[0]) =~ tr/\n//);
		if ($kind eq 'sql') { push @parts, { line => $line, sql => $block, shows => '' } }
		elsif ($block =~ /^=.?# /m)
		{
			# A statement goes on until it ends, its later lines after as many blanks as its prompt has letters; then comes what it prints.
			my ($ended, $here) = (1);
			for (split /^/, $block)
			{
				if (/^=.?# (.*\n)/) { $ended = 0; push @parts, $here = { line => $line, sql => '', shows => '' }; $_ = $1 }
				if ($ended) { $here->{shows} .= $_; next }
				$here->{sql} .= $_;
				$ended = $here->{sql} =~ /(?:;|\\gset)\s*(?:--.*)?$/ && ($here->{sql} =~ s/\$\$/\$\$/g) % 2 == 0;
			}
		}
	}
	$_->{shows} = plain($_->{shows}) for @parts;
	next unless @parts;
	my $db = 'page_' . lc $page =~ s/\W+/_/gr;
	$node->safe_psql('postgres', "CREATE DATABASE $db");
	my $s = session($node, db => $db, user => 'postgres');
	$s->value('SET client_min_messages = warning');
	$s->value('CREATE EXTENSION pg_aside') unless $text =~ /CREATE EXTENSION pg_aside;/;
	$s->value('CREATE TABLE t (n int, body text)') unless $text =~ /CREATE TABLE t /;
	$s->run("\\pset format aligned\n\\pset tuples_only off\n\\set QUIET off");
	my @wrong;
	for my $part (@parts)
	{
		$s->run('\set VERBOSITY ' . ($part->{shows} =~ /ERROR:  \w{5}:/ ? 'verbose' : 'default'));
		# What is a matter of a moment is asked for again. What exists already is not made again.
		my ($deadline, $got) = (time + 30);
		while (1)
		{
			my $r = $s->run($part->{sql}, 120);
			$got = plain($r->{err} . $r->{out});
			last if $part->{shows} eq '' || $got eq $part->{shows} || $part->{sql} !~ /a moment later/ || time > $deadline;
			usleep(50_000);
		}
		my $error = $got =~ /^(ERROR|FATAL|invalid command)/m && $got !~ /extension "\w+" already exists/;
		push @wrong, "line $part->{line}: $part->{sql}prints\n$got\n" . ($part->{shows} eq '' ? '' : "and not\n$part->{shows}\n")
		  if $part->{shows} eq '' ? $error : $got ne $part->{shows};
	}
	is(join("\n", @wrong), '', "$page: " . @parts . ' examples');
	$s->quit;
}
$node->stop;
done_testing();
