<?php
// Reads a list of bodies, and writes what PHP makes of each: rewritten forms, and
// others by the name of the change that verify --explain finds.
$bodies = json_decode(stream_get_contents(STDIN));
$forms = [
    'rewritten' => [
        'arrays' => fn($body) => json_encode(json_decode($body, true)),
        'objects' => fn($body) => json_encode(json_decode($body)),
        'arrays, pretty' => fn($body) => json_encode(json_decode($body, true), JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE | JSON_PRETTY_PRINT),
        'objects, zeros kept' => fn($body) => json_encode(json_decode($body), JSON_UNESCAPED_SLASHES | JSON_PRESERVE_ZERO_FRACTION),
        'arrays, unescaped' => fn($body) => json_encode(json_decode($body, true), JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE),
    ],
    'carried' => [
        'php_printed' => fn($body) => print_r(json_decode($body, true), true),
        'php_printed, exported' => fn($body) => var_export(json_decode($body, true), true),
        'php_printed, serialized' => fn($body) => serialize(json_decode($body, true)),
        'php_printed, an object' => fn($body) => print_r(json_decode($body), true),
        'body_url_encoded, by PHP' => fn($body) => rawurlencode($body),
        'body_quoted_printable' => fn($body) => quoted_printable_encode($body),
    ],
];
foreach ($forms as $kind => $writes) {
    $forms[$kind] = array_map(fn($write) => array_map($write, $bodies), $writes);
}
echo json_encode($forms);
