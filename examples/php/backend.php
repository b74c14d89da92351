<?php
// An application that takes ElevenLabs events from Caddy:
//
//	php -S 127.0.0.1:3000 backend.php
//
// It must listen on 127.0.0.1. The X-ElevenLabs-* headers can be trusted only
// because nobody except Caddy reaches the application.

$body = file_get_contents('php://input');
$header = fn (string $name): ?string => $_SERVER['HTTP_X_ELEVENLABS_' . $name] ?? null;
$event = [
    'event_type' => $header('EVENT_TYPE'),
    'event_id' => $header('EVENT_ID'),
    'conversation_id' => $header('CONVERSATION_ID'),
    'agent_id' => $header('AGENT_ID'),
    'secret_name' => $header('SECRET_NAME'),
    'verified' => $header('VERIFIED'),
    'bytes' => strlen($body),
    'sha256' => hash('sha256', $body),
];

// Your work goes here. ElevenLabs may send the same event twice: store event_id
// under a unique index, and do nothing if it is there already. Store or queue the
// body, answer, and then work on json_decode($body).
file_put_contents('php://stdout', "{$event['event_type']} {$event['event_id']} {$event['bytes']} bytes\n");

header('Content-Type: application/json');
echo json_encode($event);
