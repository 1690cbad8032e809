# One line "METHOD URL [BODY]" on stdin, one line with the status on stdout.
use strict;
use warnings;

$| = 1;
my $ask;
if ($ARGV[0] eq 'HTTP::Tiny') {
    require HTTP::Tiny;
    my $client = HTTP::Tiny->new;
    $ask = sub {
        my ($method, $url, $body) = @_;
        my $answer = $client->request($method, $url, defined $body ? {content => $body} : {});
        return $answer->{status} == 599 ? "0 $answer->{content}" : $answer->{status};
    };
} else {
    require LWP::UserAgent;
    my $client = LWP::UserAgent->new;
    push @{$client->requests_redirectable}, 'POST';
    $ask = sub {
        my ($method, $url, $body) = @_;
        return $client->request(HTTP::Request->new($method, $url, undef, $body))->code;
    };
}

while (my $line = <STDIN>) {
    chomp $line;
    my $said = $ask->(split / /, $line);
    $said =~ s/\n.*//s;
    print "$said\n";
}
