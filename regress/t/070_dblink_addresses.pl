# Claim: aside_dblink serves a connection string with an address of this host on
# which this server listens, or this host's name, and no other.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use AsideTest;
use Socket;
use Sys::Hostname;
use Test::More;

# What becomes of each host: 1 served, 0 refused.
sub check
{
	my ($s, $what, %hosts) = @_;
	for my $host (sort keys %hosts)
	{
		my $r = $s->run(qq{SELECT * FROM dblink('host=''$host''', 'SELECT 1') AS t(a int)});
		ok($hosts{$host} ? $r->{ok} : $r->{sqlstate} eq '0A000', "$what: host $host")
		  or diag($r->{err});
	}
}

my $node = aside_node('everywhere', conf => "listen_addresses = '0.0.0.0'\n");
my $s = session($node);
$s->value('CREATE EXTENSION aside_dblink');
my $own = inet_ntoa(inet_aton(hostname()) // "\x7f\0\0\1");
check($s, 'every address of version 4',
	'127.0.0.2' => 1, '127.0.0.1' => 1, 'localhost' => 1, $own => 1, hostname() => 1,
	'192.0.2.1' => 0, '::2' => 0, 'nowhere.example' => 0, '127.0.0.2,192.0.2.1' => 0);
my $port = $node->port;
is($s->value(qq{SELECT * FROM dblink('hostaddr=127.0.0.3 port=$port', 'SELECT 1') AS t(a int)}), 1, 'hostaddr');
is($s->run(q{SELECT * FROM dblink('host=127.0.0.2 port=1', 'SELECT 1') AS t(a int)})->{sqlstate}, '0A000', 'another port');
# The address at which a client of this server arrived.
my $tcp = session($node, host => '127.0.0.1');
is( $tcp->value(q{SELECT * FROM dblink('host=' || host(inet_server_addr()), 'SELECT 1') AS t(a int)}),
	1, 'inet_server_addr()');
$tcp->quit;
$s->quit;
$node->stop;

$node = aside_node('one', conf => "listen_addresses = '127.0.0.5'\n");
$s = session($node);
$s->value('CREATE EXTENSION aside_dblink');
check($s, 'one address', '127.0.0.5' => 1, '127.0.0.2' => 0, '::1' => 1);
$s->quit;
$node->stop;
done_testing();
