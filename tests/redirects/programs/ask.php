<?php
// One line "METHOD URL [BODY]" on stdin, one line with the status on stdout.

function with_curl(string $method, string $url, ?string $body): int
{
    $curl = curl_init($url);
    curl_setopt_array($curl, [
        CURLOPT_FOLLOWLOCATION => true,
        CURLOPT_RETURNTRANSFER => true,
        CURLOPT_NOBODY => $method === 'HEAD',
    ]);
    if ($body !== null) {
        curl_setopt($curl, CURLOPT_POSTFIELDS, $body);
    }
    if (curl_exec($curl) === false) {
        throw new RuntimeException(curl_error($curl));
    }
    return curl_getinfo($curl, CURLINFO_RESPONSE_CODE);
}

function with_stream(string $method, string $url, ?string $body): int
{
    $options = ['method' => $method, 'content' => $body ?? '', 'ignore_errors' => true];
    if (@file_get_contents($url, false, stream_context_create(['http' => $options])) === false) {
        throw new RuntimeException(error_get_last()['message']);
    }
    $lines = preg_grep('#^HTTP/#', $http_response_header);
    return (int) explode(' ', end($lines))[1];
}

function with_guzzle(string $method, string $url, ?string $body): int
{
    require_once 'GuzzleHttp/autoload.php';
    $client = new GuzzleHttp\Client(['http_errors' => false]);
    return $client->request($method, $url, ['body' => $body])->getStatusCode();
}

$ask = ['curl' => 'with_curl', 'stream' => 'with_stream', 'guzzle' => 'with_guzzle'][$argv[1]];
while (($line = fgets(STDIN)) !== false) {
    [$method, $url, $body] = explode(' ', rtrim($line)) + [null, null, null];
    try {
        echo $ask($method, $url, $body), "\n";
    } catch (Throwable $error) {
        echo '0 ', strtok($error->getMessage(), "\n"), "\n";
    }
}
